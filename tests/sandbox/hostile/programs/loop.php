<?php // kind: time
// ends: timeout
set_time_limit(0);
ignore_user_abort(true);
while (true) {}
