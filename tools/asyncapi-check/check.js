// Holds an AsyncAPI document against the official schema, and its examples against their schemas.
// Errors and warnings end with 1; a newer version of AsyncAPI being there does not.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const HINT = 2;
const text = readFileSync(process.argv[2], "utf8");
const { document, diagnostics } = await new Parser().parse(text);
for (const { code, path, message } of diagnostics) {
  console.log(`${code} at ${path.join(".")}: ${message}`);
}
const wrong = diagnostics.filter(({ severity }) => severity < HINT);
if (document === undefined || wrong.length > 0) process.exit(1);
console.log(`valid: ${document.operations().all().length} operations, ${document.channels().all().length} channels`);
