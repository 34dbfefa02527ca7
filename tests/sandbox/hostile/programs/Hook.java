// kind: survival
// ends: timeout
class Main {
    public static void main(String[] words) {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> { while (true) { } }));
        System.exit(0);
    }
}
