// The Vercel AI SDK, over both of its models for OpenAI.
import { createOpenAI } from "@ai-sdk/openai";
import { embed, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { holds, report } from "./report.mjs";

const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: "x" });
const City = z.object({ name: z.string(), population: z.number() });
const tools = {
  get_weather: tool({
    description: "Tell the weather.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `sunny in ${city}`,
  }),
};
const maxRetries = 0;

const checks = {};
for (const [name, model] of [["chat", openai.chat("gpt-4o")], ["responses", openai("gpt-4o")]]) {
  const before = name === "chat" ? "" : "responses ";
  checks[name] = async () => {
    holds((await generateText({ model, prompt: "hello", maxRetries })).text);
  };
  checks[`${before}stream`] = async () => {
    let text = "";
    const stream = streamText({ model, prompt: "hello", maxRetries });
    for await (const piece of stream.textStream) text += piece;
    holds(text);
  };
  checks[`${before}tools`] = async () => {
    const stopWhen = stepCountIs(3);
    const prompt = "What is the weather?";
    holds((await generateText({ model, prompt, tools, stopWhen, maxRetries })).text.includes("Rome"));
  };
  checks[`${before}structured`] = async () => {
    const output = Output.object({ schema: City });
    const made = await generateText({ model, prompt: "Rome", output, maxRetries });
    holds(made.output.population === 3);
  };
}
checks.embeddings = async () => {
  const made = await embed({ model: openai.embedding("m"), value: "a", maxRetries });
  holds(made.embedding.length === 1536);
};
await report(checks);
