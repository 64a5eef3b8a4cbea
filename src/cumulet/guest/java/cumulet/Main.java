package cumulet;

import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The Java runtime: loads the handler, then answers one event after the other, over the socket that is its standard input.
 *
 * A frame is 1 byte of kind, 4 of the head's length, 4 of the body's, then both; the head is JSON. Started without a handler's name it
 * is a shell: nobody's, until a frame tells whose environment it has become.
 */
public final class Main {
    private static final int INVOKE = 1, RESULT = 2, ERROR = 3, READY = 4, INIT_ERROR = 5, SPECIALISE = 6;
    private static final int MAX_ANSWER_BYTES = 6 * 1024 * 1024 + 100;

    private final DataInputStream in;
    private final OutputStream out;
    private Handler handler;

    private Main(InputStream in, OutputStream out) {
        this.in = new DataInputStream(in);
        this.out = out;
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length > 0 && arguments[0].equals("--train")) {
            Training.run();
            return;
        }
        Main main = new Main(new FileInputStream(FileDescriptor.in), new FileOutputStream(FileDescriptor.in));
        System.setIn(new ByteArrayInputStream(new byte[0])); // the handler must not read the node's words
        if (System.getenv("_HANDLER") != null) main.init();
        else Training.warmUp();
        main.serve();
    }

    private void serve() throws IOException {
        while (true) {
            int kind;
            try {
                kind = in.readUnsignedByte();
            } catch (EOFException end) {
                System.exit(0);
                return;
            }
            byte[] head = new byte[in.readInt()];
            byte[] body = new byte[in.readInt()];
            in.readFully(head);
            in.readFully(body);
            if (kind == SPECIALISE) {
                specialise(Json.object(Json.parse(body)));
                init();
            } else if (kind == INVOKE) {
                answer(Json.object(Json.parse(head)), body);
            }
        }
    }

    private void init() throws IOException {
        try {
            handler = Handler.load(System.getenv("_HANDLER"), System.getenv("LAMBDA_TASK_ROOT"));
        } catch (Throwable error) {
            Map<String, Object> document = Errors.document(Errors.causeOf(error));
            Errors.log(document);
            send(INIT_ERROR, Map.of("error_type", document.get("errorType")), Json.write(document));
            System.exit(1);
        }
        flush();
        send(READY, Map.of(), new byte[0]);
    }

    private void answer(Map<String, Object> call, byte[] event) throws IOException {
        String id = (String) call.get("request_id");
        Object trace = call.get("trace_id");
        if (trace != null) System.setProperty("com.amazonaws.xray.traceHeader", trace.toString());
        else System.clearProperty("com.amazonaws.xray.traceHeader");
        try {
            byte[] result = handler.handle(event, call);
            if (result.length > MAX_ANSWER_BYTES) {
                String message = "Response payload size exceeded maximum allowed payload size (" + MAX_ANSWER_BYTES + " bytes).";
                throw new Errors.RuntimeFault("Function.ResponseSizeTooLarge", message);
            }
            flush();
            send(RESULT, Map.of("request_id", id), result);
        } catch (Throwable error) {
            Map<String, Object> document = Errors.document(Errors.causeOf(error));
            Errors.log(document);
            send(ERROR, Map.of("request_id", id, "error_type", document.get("errorType")), Json.write(document));
        }
    }

    private void send(int kind, Map<String, ?> head, byte[] body) throws IOException {
        byte[] packed = Json.write(head);
        ByteBuffer frame = ByteBuffer.allocate(9 + packed.length + body.length);
        frame.put((byte) kind).putInt(packed.length).putInt(body.length).put(packed).put(body);
        flush();
        out.write(frame.array());
    }

    private static void flush() {
        System.out.flush();
        System.err.flush();
    }

    /** What a process of its own would have been started with. The JVM's copy of the environment can only be changed from inside. */
    @SuppressWarnings("unchecked")
    private static void specialise(Map<String, Object> variables) {
        try {
            Field environment = Class.forName("java.lang.ProcessEnvironment").getDeclaredField("theUnmodifiableEnvironment");
            environment.setAccessible(true);
            Field inner = Class.forName("java.util.Collections$UnmodifiableMap").getDeclaredField("m");
            inner.setAccessible(true);
            Map<String, String> known = (Map<String, String>) inner.get(environment.get(null));
            known.clear();
            variables.forEach((name, value) -> known.put(name, (String) value));
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static Map<String, Object> mapOf(Object... pairs) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int at = 0; at < pairs.length; at += 2) map.put((String) pairs[at], pairs[at + 1]);
        return map;
    }
}
