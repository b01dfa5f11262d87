// A second engine that is not ours: asks node-llama-cpp about a GGUF file.
//
//     node evaluate.mjs REQUEST.json
//
// REQUEST: {"gguf": path, "texts": [text], "walks": [{"prompt": [token], "continuation": [token]}]}
// Prints {"tokens": [[token]], "steps": [[[[token, logit], …]]]}: for each walk and each token of its
// continuation, the logits of the whole vocabulary.

import {readFileSync} from "node:fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const request = JSON.parse(readFileSync(process.argv[2], "utf8"));
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: 1});
const model = await llama.loadModel({modelPath: request.gguf});
const context = await model.createContext({
    contextSize: 1024,
    flashAttention: false,
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32"
});

const steps = [];
for (const {prompt, continuation} of request.walks) {
    const sequence = context.getSequence();
    const all = [...prompt, ...continuation.slice(0, -1)];
    const asked = all.map((token, index) => (
        index < prompt.length - 1 ? token : [token, {generateNext: {logits: true}}]
    ));
    const answers = await sequence.controlledEvaluate(asked);
    steps.push(answers.slice(prompt.length - 1).map((answer) => [...answer.next.logits]));
    await sequence.dispose();
}
const tokens = request.texts.map((text) => model.tokenize(text, true));
process.stdout.write(JSON.stringify({tokens, steps}));
await llama.dispose();
