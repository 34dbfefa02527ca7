// kind: memory
// ends: memory, error, signal, timeout
const kept = [];
for (;;) kept.push(Buffer.alloc(1 << 22, 1));
