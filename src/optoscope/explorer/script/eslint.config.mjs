// How the script is checked: `npm run lint`.
import js from "@eslint/js";
import globals from "globals";

const rules = {
  ...js.configs.recommended.rules,
  curly: ["error", "multi-line"],
  eqeqeq: "error",
  "max-lines": ["error", 300],
  "no-shadow": "error",
  "no-unused-vars": "error",
  "no-var": "error",
  "prefer-const": "error",
};
const language = (names) => ({ ecmaVersion: "latest", sourceType: "module", globals: names });

export default [
  { files: ["*.js", "rooms/*.js"], languageOptions: language(globals.browser), rules },
  { files: ["*.mjs", "test/*.mjs"], languageOptions: language(globals.node), rules },
];
