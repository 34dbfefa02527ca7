// kind: secrets
// ends: ok
const fs = require("fs");
const targets = JSON.parse(fs.readFileSync("targets.json"));
for (const path of targets.secrets) {
    try {
        console.log(fs.readFileSync(path, "utf8"), "BREACH");
    } catch (error) {}
}
console.log(process.env);
