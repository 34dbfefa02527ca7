// kind: secrets
// ends: ok
fn main() {
    let text = std::fs::read_to_string("targets.json").unwrap();
    for path in text.split('"').filter(|word| word.starts_with('/')) {
        if std::fs::read_to_string(path).is_ok() {
            println!("BREACH: {}", path);
        }
    }
}
