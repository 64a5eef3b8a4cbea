package cumulet;

import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Lambda's error documents for Java: `{"errorMessage", "errorType", "stackTrace", "cause"}`. */
final class Errors {
    private Errors() {}

    /** A failure that Lambda names itself. */
    static final class RuntimeFault extends RuntimeException {
        final String errorType;

        RuntimeFault(String errorType, String message) {
            super(message, null, false, false);
            this.errorType = errorType;
        }
    }

    /** What the user's code threw, without what carried it here. */
    static Throwable causeOf(Throwable error) {
        while ((error instanceof InvocationTargetException || error instanceof ExceptionInInitializerError) && error.getCause() != null) error = error.getCause();
        return error;
    }

    static Map<String, Object> document(Throwable error) {
        String type = error instanceof RuntimeFault fault ? fault.errorType : error.getClass().getName();
        List<String> stack = new ArrayList<>();
        for (StackTraceElement frame : error.getStackTrace()) {
            if (frame.getClassName().startsWith("cumulet.") || frame.getClassName().startsWith("jdk.internal.reflect.")) break;
            stack.add(frame.toString());
        }
        Map<String, Object> document = Main.mapOf("errorMessage", String.valueOf(error.getMessage()), "errorType", type, "stackTrace", stack);
        if (error.getCause() != null && error.getCause() != error) document.put("cause", document(error.getCause()));
        return document;
    }

    static void log(Map<String, Object> document) {
        StringBuilder text = new StringBuilder().append(document.get("errorMessage")).append(": ").append(document.get("errorType"));
        for (Object frame : (List<?>) document.get("stackTrace")) text.append("\n\tat ").append(frame);
        System.out.println(text.toString().replace("\n", "\0\n"));
    }
}
