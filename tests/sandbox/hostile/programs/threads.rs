// kind: processes
// ends: timeout, error, signal
// limits: wall_seconds=4
fn main() {
    let mut kept = Vec::new();
    loop {
        match std::thread::Builder::new().spawn(|| loop {}) {
            Ok(handle) => kept.push(handle),
            Err(_) => std::thread::yield_now(),
        }
    }
}
