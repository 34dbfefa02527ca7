<?php // kind: secrets
// ends: ok
echo shell_exec("cat /etc/shadow /proc/1/environ 2>/dev/null");
foreach (json_decode(file_get_contents("targets.json"), true)["secrets"] as $path) {
    if (@file_get_contents($path) !== false) echo "BREACH: $path";
}
