# NepXy's image: `docker build -t nepxy .`. What it does is in deploy/image, where a test runs it without Docker.
# To pin the base by digest: --build-arg PYTHON_IMAGE=python@sha256:… (docker buildx imagetools inspect says which).
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY pyproject.toml setup.cfg README.md requirements.in requirements-runtime.lock ./
COPY deploy/image deploy/image
COPY nepxy nepxy
RUN deploy/image/install.sh /opt/nepxy

FROM ${PYTHON_IMAGE}
ARG GIT_SHA=""
LABEL org.opencontainers.image.title="NepXy" \
      org.opencontainers.image.description="Pays people's mobile-money wallets, each payout exactly once" \
      org.opencontainers.image.revision="${GIT_SHA}"
ENV ENV=prod \
    GIT_SHA="${GIT_SHA}" \
    NEPXY_HTTP_HOST=0.0.0.0 \
    NEPXY_LOG_FORMAT=json \
    PATH="/opt/nepxy/bin:${PATH}" \
    PORT=8001 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN groupadd --gid 10001 nepxy \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin nepxy
COPY --from=build /opt/nepxy /opt/nepxy
COPY deploy/image/start.sh deploy/image/healthcheck.py /usr/local/lib/nepxy/
WORKDIR /tmp
USER 10001:10001
EXPOSE 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/opt/nepxy/bin/python", "/usr/local/lib/nepxy/healthcheck.py"]
ENTRYPOINT ["/usr/local/lib/nepxy/start.sh"]
CMD ["serve"]
