// The door: operator id and secret.

import { fill, h } from "./dom.js";
import { field, refusal } from "./pieces.js";
import { signIn } from "./session.js";

export function signInForm() {
  const operatorId = h("input", { name: "username", autocomplete: "username", autocapitalize: "off", spellcheck: "false", required: true, maxlength: 255 });
  const secret = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true, maxlength: 1024 });
  const outcome = h("div", {});
  const submit = h("button", { type: "submit", class: "primary" }, "Sign in");
  async function run(event) {
    event.preventDefault();
    submit.disabled = true;
    fill(outcome);
    try {
      await signIn(operatorId.value.trim(), secret.value);
    } catch (problem) {
      submit.disabled = false;
      secret.value = "";
      fill(outcome, refusal(problem));
      secret.focus();
    }
  }
  return h(
    "main",
    { class: "alone" },
    h("img", { src: "/console/files/mark.svg", alt: "", width: 44, height: 44 }),
    h("h1", {}, "NepXy console"),
    h("form", { class: "card", onsubmit: run }, field("Operator id", operatorId), field("Secret", secret), outcome, submit),
    h("p", { class: "faint" }, "For registered operators. What you do here is kept with your name."),
  );
}
