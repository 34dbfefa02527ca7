// kind: memory
// ends: memory, error, signal
fn main() {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        kept.push(vec![1u8; 1 << 24]);
    }
}
