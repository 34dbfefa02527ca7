// kind: processes
// ends: timeout, error, signal, memory
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
