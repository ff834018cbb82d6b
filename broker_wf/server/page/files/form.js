// A form from a JSON schema: what is asked, with what is known of each field.

import { h, put } from "./dom.js";

let made = 0;

// `value()` gives what was entered, or throws with the field that is wrong focused.
export function formOf(schema) {
  const root = resolved(schema, schema);
  const fields = Object.entries(root.properties ?? {}).map(([name, one]) => field(name, resolved(one, schema), (root.required ?? []).includes(name), one));
  const open = !fields.length || root.additionalProperties === true;
  const rest = open ? field(fields.length ? "further fields" : "fields", { type: "object", description: "As a JSON object." }, false, { default: {} }) : null;
  const element = h("div", { class: "fields" }, fields.map((one) => one.element), rest?.element);
  return {
    element,
    value() {
      const found = {};
      for (const one of fields) { const value = one.value(); if (value !== undefined) found[one.name] = value; }
      return rest ? { ...found, ...rest.value() } : found;
    },
  };
}

function resolved(one, root) {
  let found = one;
  if (found.allOf?.length === 1) found = { ...found.allOf[0], ...found, allOf: undefined };
  if (found.$ref) found = { ...root.$defs?.[found.$ref.replace("#/$defs/", "")], ...found, $ref: undefined };
  if (found.anyOf) {
    const kinds = found.anyOf.filter((kind) => kind.type !== "null");
    const nullable = kinds.length < found.anyOf.length;
    if (kinds.length === 1) found = { ...resolved(kinds[0], root), ...found, anyOf: undefined, nullable };
    else found = { ...found, anyOf: undefined, type: "any", nullable };
  }
  return found;
}

function field(name, schema, required, given) {
  const id = `field-${made += 1}`;
  const preset = given.default ?? schema.default;
  const described = schema.description ? `${id}-about` : null;
  const problem = h("span", { class: "problem", role: "alert" });
  const attributes = { id, name, "aria-describedby": described };
  const { input, read } = control(schema, preset, required, attributes);
  const label = [name.replaceAll("_", " "), required && h("span", { class: "must", title: "required" }, " *")];
  const about = described && h("span", { class: "about", id: described }, schema.description);
  const element = schema.type === "boolean"
    ? h("div", { class: "field check" }, h("label", { for: id }, input, h("span", {}, label)), about, problem)
    : h("div", { class: "field" }, h("label", { for: id }, label, h("span", { class: "kind" }, kindOf(schema))), input, about, problem);
  return {
    name, element,
    value() {
      put(problem);
      try { return read(); } catch (error) { put(problem, error.message); input.focus(); throw error; }
    },
  };
}

function kindOf(schema) {
  if (schema.enum) return "";
  return { string: schema.format ?? "", integer: "whole number", number: "number", array: "JSON list", object: "JSON", any: "JSON" }[schema.type] ?? "JSON";
}

function control(schema, preset, required, attributes) {
  if (schema.enum || schema.const !== undefined) {
    const kinds = schema.enum ?? [schema.const];
    const input = h("select", attributes, !required && h("option", { value: "" }, ""), kinds.map((one, index) => h("option", { value: String(index + 1), selected: one === preset }, String(one))));
    return { input, read: () => (input.value ? kinds[Number(input.value) - 1] : undefined) };
  }
  if (schema.type === "boolean") {
    const input = h("input", { ...attributes, type: "checkbox", checked: preset === true });
    return { input, read: () => input.checked };
  }
  if (schema.type === "integer" || schema.type === "number") {
    const input = h("input", { ...attributes, type: "number", step: schema.type === "integer" ? 1 : "any", min: schema.minimum, max: schema.maximum, value: preset ?? "", inputmode: "decimal" });
    return { input, read: () => read(input, required, schema, Number) };
  }
  if (schema.type === "string") {
    const long = !schema.format && (schema.maxLength === undefined || schema.maxLength > 200);
    const kind = { "date-time": "datetime-local", date: "date", email: "email", password: "password" }[schema.format] ?? "text";
    const input = long ? h("textarea", { ...attributes, rows: 1, class: "grows", value: preset ?? "" }) : h("input", { ...attributes, type: kind, value: preset ?? "" });
    return { input, read: () => read(input, required, schema, (text) => (schema.format === "date-time" ? new Date(text).toISOString() : text)) };
  }
  const input = h("textarea", { ...attributes, rows: 3, class: "json", spellcheck: "false", value: preset === undefined ? (schema.type === "array" ? "[]" : schema.type === "object" ? "{}" : "") : JSON.stringify(preset, null, 2) });
  return { input, read: () => read(input, required, schema, parsed) };
}

function parsed(text) {
  try { return JSON.parse(text); } catch (error) { throw new Error(`This is not JSON: ${error.message}`); }
}

function read(input, required, schema, convert) {
  if (input.value === "") {
    if (input.validity?.badInput) throw new Error("This is not a number.");
    if (required && schema.type !== "string") throw new Error("This is needed.");
    if (required) return "";
    return schema.nullable ? null : undefined;
  }
  if (input.validity && !input.validity.valid) throw new Error(input.validationMessage);
  return convert(input.value);
}

// The same with a button, and what the server says if it refuses.
export function asked(schema, button, submit, kind = "", more = null) {
  const form = formOf(schema);
  const refused = h("pre", { class: "refused", role: "alert", hidden: true });
  const send = h("button", { class: kind }, button);
  return h("form", {
    class: "asked changes", novalidate: true,
    onsubmit: async (event) => {
      event.preventDefault();
      let value;
      try { value = form.value(); } catch { return; }
      send.disabled = true;
      refused.hidden = true;
      try { await submit(value); } catch (error) { refused.hidden = false; put(refused, error.message); } finally { send.disabled = false; }
    },
  }, form.element, more, refused, h("div", { class: "row" }, send));
}
