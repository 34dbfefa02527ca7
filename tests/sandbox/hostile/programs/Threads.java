// kind: processes
// ends: timeout, error, signal, memory
// limits: wall_seconds=4
class Main {
    public static void main(String[] words) throws Exception {
        while (true) {
            try {
                new Thread(() -> { while (true) { } }).start();
            } catch (Throwable full) {
                Thread.sleep(10);
            }
        }
    }
}
