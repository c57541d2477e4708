// node llama-cpp.mjs JOBS.json RESULTS.json: runs GGUF files in llama.cpp and writes what it computes.
//
// A job is {model, lora?, rows?, greedy?, embed?, texts?}: the file of a model and of a LoRA adapter; sequences of token ids;
// how many tokens to add to each; texts to tokenize; whether to embed them. A result has, of these,
// probabilities[row][position][id] of the next token, greedy[row], ids[text], embeddings[text], or an error.
import fs from "fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const CONTEXT = 128;
const WHOLE = {temperature: 1, topK: 0, topP: 1, minP: 0};

const [jobs, results] = process.argv.slice(2);
const llama = await getLlama({
    gpu: false, build: "never", skipDownload: true, maxThreads: 1, logLevel: LlamaLogLevel.error
});

function dense(probabilities) {
    const all = [];
    for (const [id, probability] of probabilities) all[id] = probability;
    return Array.from(all, (probability) => probability ?? 0);
}

function best(probabilities) {
    return probabilities.indexOf(Math.max(...probabilities));
}

async function evaluate(sequence, tokens) {
    const steps = await sequence.controlledEvaluate(
        tokens.map((token) => [token, {generateNext: {probabilities: true, options: WHOLE}}]));
    return steps.map((step) => dense(step.next.probabilities));
}

// llama.cpp rounds keys and values to float16, and does so in flash attention, where it is not told otherwise
async function decode(model, job, result) {
    const context = await model.createContext({
        contextSize: CONTEXT, sequences: 1, flashAttention: false,
        experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32",
        ...(job.lora ? {lora: {adapters: [{filePath: job.lora}]}} : {})
    });
    const sequence = context.getSequence();
    result.probabilities = [];
    result.greedy = [];
    for (const row of job.rows) {
        await sequence.clearHistory();
        const read = await evaluate(sequence, row);
        result.probabilities.push(read);
        const added = [];
        for (let last = read.at(-1); added.length < (job.greedy ?? 0);) {
            added.push(best(last));
            if (added.length < job.greedy) last = (await evaluate(sequence, [added.at(-1)]))[0];
        }
        result.greedy.push(added);
    }
    await context.dispose();
}

async function run(job) {
    const result = {};
    const model = await llama.loadModel({modelPath: job.model, defaultContextFlashAttention: false});
    if (job.texts) result.ids = job.texts.map((text) => model.tokenize(text, true));
    if (job.embed) {
        const context = await model.createEmbeddingContext({contextSize: CONTEXT, threads: 1});
        result.embeddings = [];
        for (const text of job.texts) result.embeddings.push((await context.getEmbeddingFor(text)).vector);
        await context.dispose();
    } else if (job.rows) {
        await decode(model, job, result);
    }
    await model.dispose();
    return result;
}

const all = [];
for (const job of JSON.parse(fs.readFileSync(jobs, "utf8"))) {
    try {
        all.push(await run(job));
    } catch (error) {
        all.push({error: String(error)});
    }
}
fs.writeFileSync(results, JSON.stringify(all));
process.exit(0);
