// kind: time
// ends: timeout
// limits: wall_seconds=2
process.on("SIGTERM", () => {});
(function again() { setImmediate(again); })();
