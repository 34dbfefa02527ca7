// kind: survival
// ends: timeout
// limits: wall_seconds=4
class Main {
    public static void main(String[] words) {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> { while (true) { } }));
        System.exit(0);
    }
}
