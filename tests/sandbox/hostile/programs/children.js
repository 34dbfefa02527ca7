// kind: survival
// ends: ok, error
const { spawn } = require("child_process");
for (let n = 0; n < 5; n++) spawn("sleep", ["600"], { detached: true, stdio: "inherit" }).on("error", () => {}).unref();
