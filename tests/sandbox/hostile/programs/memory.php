<?php // kind: memory
// ends: memory, error
ini_set("memory_limit", "-1");
$x = [];
while (true) $x[] = str_repeat("x", 1 << 20);
