// Scenarios with npm packages; prints what each saw as one JSON object (see test_frameworks.py).
// CLIENT says which: "ai" (with @ai-sdk/openai), "openai" or "anthropic".

import { createOpenAI } from "@ai-sdk/openai";
import Anthropic from "@anthropic-ai/sdk";
import { generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";

const { CLIENT, GATEWAY, KEY, MODEL } = process.env;
const asked = [{ role: "user", content: "Hello there" }];
const place = { type: "object", properties: { place: { type: "string" } }, required: ["place"] };
const gauge = {
  type: "object",
  properties: { place: { type: "string" }, level: { type: "integer" } },
  required: ["place", "level"],
  additionalProperties: false,
};

// The package's default, createOpenAI()(model), speaks the Responses API; .chat(model) speaks chat completions.
const aiModel = () => createOpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: KEY }).chat(MODEL);

const ai = {
  async text() {
    const answer = await generateText({ model: aiModel(), messages: asked, maxRetries: 0 });
    return { text: answer.text, tokens: answer.usage.outputTokens };
  },
  async stream() {
    const pieces = [];
    const answer = streamText({ model: aiModel(), messages: asked, maxRetries: 0 });
    for await (const piece of answer.textStream) pieces.push(piece);
    return { text: pieces.join(""), several: pieces.length > 5 };
  },
  async tools() {
    const weather = tool({ inputSchema: jsonSchema(place), execute: async (given) => `rain in ${given.place}` });
    const answer = await generateText({
      model: aiModel(), messages: asked, tools: { weather }, stopWhen: stepCountIs(3), maxRetries: 0,
    });
    const calls = answer.steps.flatMap((step) => step.toolCalls.map((call) => [call.toolName, call.input]));
    return { calls, then: answer.text };
  },
  async structured() {
    const answer = await generateObject({
      model: aiModel(), messages: asked, schema: jsonSchema(gauge), maxRetries: 0,
    });
    return { json_schema: answer.object };
  },
};

const openaiClient = () => new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: KEY, maxRetries: 0, timeout: 20000 });
const openaiTool = { type: "function", function: { name: "weather", parameters: place } };

const openai = {
  async text() {
    const answer = await openaiClient().chat.completions.create({ model: MODEL, messages: asked });
    return { text: answer.choices[0].message.content, tokens: answer.usage.completion_tokens };
  },
  async stream() {
    const pieces = [];
    const events = await openaiClient().chat.completions.create({ model: MODEL, messages: asked, stream: true });
    for await (const event of events) pieces.push(event.choices[0]?.delta?.content ?? "");
    return { text: pieces.join(""), several: pieces.length > 5 };
  },
  async tools() {
    const ask = (messages) => openaiClient().chat.completions.create({ model: MODEL, messages, tools: [openaiTool] });
    const { message } = (await ask(asked)).choices[0];
    const results = message.tool_calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: "rain" }));
    const then = await ask([...asked, message, ...results]);
    const calls = message.tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
    return { calls, then: then.choices[0].message.content };
  },
  async structured() {
    const response_format = { type: "json_schema", json_schema: { name: "gauge", strict: true, schema: gauge } };
    const answer = await openaiClient().chat.completions.create({ model: MODEL, messages: asked, response_format });
    return { json_schema: JSON.parse(answer.choices[0].message.content) };
  },
};

const anthropicClient = () => new Anthropic({ baseURL: GATEWAY, apiKey: KEY, maxRetries: 0, timeout: 20000 });
const anthropicBody = { model: MODEL, max_tokens: 200, messages: asked };
const textOf = (message) => message.content.filter((block) => block.type === "text").map((block) => block.text).join("");

const anthropic = {
  async text() {
    const answer = await anthropicClient().messages.create(anthropicBody);
    return { text: textOf(answer), tokens: answer.usage.output_tokens };
  },
  async stream() {
    const pieces = [];
    const stream = anthropicClient().messages.stream(anthropicBody);
    stream.on("text", (piece) => pieces.push(piece));
    return { text: textOf(await stream.finalMessage()), several: pieces.length > 5 };
  },
  async tools() {
    const tools = [{ name: "weather", input_schema: place }];
    const ask = (messages) => anthropicClient().messages.create({ ...anthropicBody, messages, tools });
    const first = await ask(asked);
    const used = first.content.filter((block) => block.type === "tool_use");
    const results = used.map((block) => ({ type: "tool_result", tool_use_id: block.id, content: "rain" }));
    const turns = [{ role: "assistant", content: first.content }, { role: "user", content: results }];
    const then = await ask([...asked, ...turns]);
    return { calls: used.map((block) => [block.name, block.input]), then: textOf(then) };
  },
  async structured() {
    const output_config = { format: { type: "json_schema", schema: gauge } };
    const answer = await anthropicClient().messages.create({ ...anthropicBody, output_config });
    return { json_schema: JSON.parse(textOf(answer)) };
  },
};

const seen = {};
for (const [name, scenario] of Object.entries({ ai, openai, anthropic }[CLIENT])) {
  try {
    seen[name] = await scenario();
  } catch (error) {
    seen[name] = { raised: `${error.name}: ${error.message}` };
  }
}
process.stdout.write(JSON.stringify(seen));
