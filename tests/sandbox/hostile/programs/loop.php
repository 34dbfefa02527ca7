<?php // kind: time
// ends: timeout
// limits: wall_seconds=1
set_time_limit(0);
ignore_user_abort(true);
while (true) {}
