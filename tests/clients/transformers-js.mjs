// node transformers-js.mjs MODELS JOB.json RESULT.json: embeds or classifies texts with a model in the folder MODELS.
//
// A job is {task, model, dtype, texts, options}: a pipeline of transformers.js, and what it is called with. The result is a list
// of vectors for feature-extraction, else what the pipeline gives.
import fs from "fs";
import {env, pipeline} from "@huggingface/transformers";

const [models, job, result] = process.argv.slice(2);
env.allowRemoteModels = false;
env.localModelPath = models;

const {task, model, dtype, texts, options} = JSON.parse(fs.readFileSync(job, "utf8"));
const run = await pipeline(task, model, {dtype});
const found = await run(texts, options);
fs.writeFileSync(result, JSON.stringify(task === "feature-extraction" ? found.tolist() : found));
