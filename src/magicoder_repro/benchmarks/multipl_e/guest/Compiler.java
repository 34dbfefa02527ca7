// A Java compiler that stays alive: sources come on standard input, class files go out on standard output.
// Each is compiled together with a file of our own, the second argument; the first is the class path.
// It runs in a sandbox, compiles only, and processes no annotations: nothing of a program is ever executed here.
//   in:  length of the source (4 bytes), the source in UTF-8
//   out: length of the answer (4 bytes), then 0 (a compile error), 1 and the classes, or 2 (ask a fresh compiler);
//        a class is its name (2 + n bytes) and its content (4 + n bytes)

import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.StringWriter;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.tools.FileObject;
import javax.tools.ForwardingJavaFileManager;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileManager;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;

class Compiler {
    private static final JavaCompiler JAVAC = ToolProvider.getSystemJavaCompiler();
    private static final JavaFileManager FILES = JAVAC.getStandardFileManager(null, null, StandardCharsets.UTF_8);

    public static void main(String[] args) throws IOException {
        DataInputStream in = new DataInputStream(System.in);
        DataOutputStream out = new DataOutputStream(System.out);
        System.setOut(new PrintStream(OutputStream.nullOutputStream()));
        Source ours = new Source(args[1], Files.readString(Path.of(args[1])));
        while (true) {
            byte[] source;
            try {
                source = new byte[in.readInt()];
            } catch (EOFException end) {
                return;
            }
            in.readFully(source);
            byte[] answer;
            try {
                answer = compile(new String(source, StandardCharsets.UTF_8), args[0], ours);
            } catch (Throwable trouble) {
                answer = new byte[] {2};
            }
            out.writeInt(answer.length);
            out.write(answer);
            out.flush();
        }
    }

    private static byte[] compile(String source, String classPath, Source ours) throws IOException {
        Classes classes = new Classes();
        List<String> options = List.of("-proc:none", "-nowarn", "-classpath", classPath);
        Boolean compiled = JAVAC.getTask(new StringWriter(), classes, null, options, null, List.of(new Source("program.java", source), ours)).call();
        ByteArrayOutputStream answer = new ByteArrayOutputStream();
        DataOutputStream data = new DataOutputStream(answer);
        data.writeByte(compiled ? 1 : 0);
        if (compiled) {
            for (Map.Entry<String, ByteArrayOutputStream> one : classes.found.entrySet()) {
                data.writeUTF(one.getKey());
                data.writeInt(one.getValue().size());
                one.getValue().writeTo(data);
            }
        }
        return answer.toByteArray();
    }

    private static class Source extends SimpleJavaFileObject {
        private final String text;

        Source(String name, String text) {
            super(URI.create("string:///" + name), Kind.SOURCE);
            this.text = text;
        }

        @Override
        public CharSequence getCharContent(boolean ignoreErrors) {
            return text;
        }
    }

    private static class Classes extends ForwardingJavaFileManager<JavaFileManager> {
        final Map<String, ByteArrayOutputStream> found = new LinkedHashMap<>();

        Classes() {
            super(FILES);
        }

        @Override
        public JavaFileObject getJavaFileForOutput(Location location, String name, JavaFileObject.Kind kind, FileObject sibling) {
            return new SimpleJavaFileObject(URI.create("bytes:///" + name.replace('.', '/') + kind.extension), kind) {
                @Override
                public OutputStream openOutputStream() {
                    ByteArrayOutputStream content = new ByteArrayOutputStream();
                    found.put(name.replace('.', '/') + kind.extension, content);
                    return content;
                }
            };
        }
    }
}
