#!/bin/sh
# Makes the certificates of the TLS fault tests, here, with OpenSSL 3. They are committed, so that the tests need no
# openssl and no clock: valid 2020 to 2120 (expired.pem: January 2020). The authority's key is thrown away.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/ca.cnf" <<CONFIG
[ca]
default_ca = authority
[authority]
new_certs_dir = $work
database = $work/index.txt
serial = $work/serial
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
CONFIG
: > "$work/index.txt"
echo 01 > "$work/serial"

request() { # file, common name, alternative names
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -keyout "$work/$1.key" -out "$work/$1.csr" -subj "/CN=$2" ${3:+-addext "subjectAltName=$3"}
}
sign() { # file, section, from, until, options
    openssl ca -batch -notext -config "$work/ca.cnf" -extensions "$2" -in "$work/$1.csr" -out "$work/$1.crt" \
        -startdate "$3" -enddate "$4" $5
}

FROM=20200101000000Z
UNTIL=21200101000000Z
HERE=DNS:localhost,IP:127.0.0.1
request authority "contract tests authority" ""
sign authority root $FROM $UNTIL "-selfsign -keyfile $work/authority.key"
cp "$work/authority.crt" authority.pem

by_authority="-cert authority.pem -keyfile $work/authority.key"
request good localhost $HERE
sign good leaf $FROM $UNTIL "$by_authority"
request other_name elsewhere.example DNS:elsewhere.example
sign other_name leaf $FROM $UNTIL "$by_authority"
request expired localhost $HERE
sign expired leaf $FROM 20200201000000Z "$by_authority"
request self_signed localhost $HERE
sign self_signed leaf $FROM $UNTIL "-selfsign -keyfile $work/self_signed.key"

for name in good other_name expired self_signed; do
    cat "$work/$name.crt" "$work/$name.key" > "$name.pem"
done
