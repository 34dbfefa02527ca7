// kind: memory
// ends: error, memory, timeout
import java.util.ArrayList;

class Main {
    public static void main(String[] words) {
        ArrayList<long[]> kept = new ArrayList<>();
        while (true) kept.add(new long[1 << 20]);
    }
}
