// kind: time
// ends: timeout
process.on("SIGTERM", () => {});
(function again() { setImmediate(again); })();
