// OpenAI's own client for JavaScript.
import OpenAI from "openai";
import { holds, report } from "./report.mjs";

const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user", content: "hello" }];
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
};
const format = {
  name: "city",
  schema: {
    type: "object",
    properties: { name: { type: "string" }, population: { type: "integer" } },
    required: ["name", "population"],
    additionalProperties: false,
  },
  strict: true,
};

await report({
  chat: async () => {
    const reply = await client.chat.completions.create({ model: "m", messages });
    holds(reply.choices[0].message.content);
  },
  stream: async () => {
    let text = "";
    const chunks = await client.chat.completions.create({ model: "m", messages, stream: true });
    for await (const chunk of chunks) text += chunk.choices[0]?.delta?.content ?? "";
    holds(text);
  },
  tools: async () => {
    const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
    const reply = await client.chat.completions.create({ model: "m", messages, tools });
    holds(JSON.parse(reply.choices[0].message.tool_calls[0].function.arguments).city === "Rome");
  },
  structured: async () => {
    const reply = await client.chat.completions.parse({
      model: "m",
      messages,
      response_format: { type: "json_schema", json_schema: format },
    });
    holds(JSON.parse(reply.choices[0].message.content).population === 3);
  },
  responses: async () => {
    holds((await client.responses.create({ model: "m", input: "hello" })).output_text);
  },
  "responses stream": async () => {
    const stream = client.responses.stream({ model: "m", input: "hello" });
    holds((await stream.finalResponse()).output_text);
  },
  "responses tools": async () => {
    const tools = [{ type: "function", name: "get_weather", parameters, strict: false }];
    const first = await client.responses.create({ model: "m", input: "hello", tools });
    const output = first.output.at(-1);
    const input = [{ type: "function_call_output", call_id: output.call_id, output: "sunny" }];
    const next = { model: "m", input, tools, previous_response_id: first.id };
    holds((await client.responses.create(next)).output_text);
  },
  "responses structured": async () => {
    const text = { format: { type: "json_schema", ...format } };
    const reply = await client.responses.create({ model: "m", input: "hello", text });
    holds(JSON.parse(reply.output_text).population === 3);
  },
  embeddings: async () => {
    const reply = await client.embeddings.create({ model: "m", input: ["a", "b"] });
    holds(reply.data[0].embedding.length === 1536);
  },
});
