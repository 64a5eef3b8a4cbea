package cumulet;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** JSON texts to trees of Map, List, String, Long, BigInteger, BigDecimal, Boolean and null, and back. */
final class Json {
    private static final int MAX_DEPTH = 512;
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    static Object parse(byte[] utf8) {
        Json json = new Json(new String(utf8, StandardCharsets.UTF_8));
        Object value = json.value(0);
        json.space();
        if (json.at < json.text.length()) throw json.wrong();
        return value;
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> object(Object tree) {
        return (Map<String, Object>) tree;
    }

    static byte[] write(Object tree) {
        StringBuilder to = new StringBuilder();
        write(tree, to, 0);
        return Main.utf8(to.toString());
    }

    private Object value(int depth) {
        space();
        if (at >= text.length() || depth > MAX_DEPTH) throw wrong();
        switch (text.charAt(at)) {
            case '{': return object(depth);
            case '[': return list(depth);
            case '"': return string();
            case 't': return word("true", true);
            case 'f': return word("false", false);
            case 'n': return word("null", null);
            default: return number();
        }
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> found = new LinkedHashMap<>();
        at++;
        space();
        if (peek('}')) return found;
        while (true) {
            space();
            if (at >= text.length() || text.charAt(at) != '"') throw wrong();
            String name = string();
            space();
            if (!peek(':')) throw wrong();
            found.put(name, value(depth + 1));
            space();
            if (peek('}')) return found;
            if (!peek(',')) throw wrong();
        }
    }

    private List<Object> list(int depth) {
        List<Object> found = new ArrayList<>();
        at++;
        space();
        if (peek(']')) return found;
        while (true) {
            found.add(value(depth + 1));
            space();
            if (peek(']')) return found;
            if (!peek(',')) throw wrong();
        }
    }

    private String string() {
        StringBuilder found = new StringBuilder();
        for (at++; at < text.length(); at++) {
            char next = text.charAt(at);
            if (next == '"') {
                at++;
                return found.toString();
            }
            if (next != '\\') {
                found.append(next);
                continue;
            }
            if (++at >= text.length()) throw wrong();
            char escaped = text.charAt(at);
            int plain = "\"\\/bfnrt".indexOf(escaped);
            if (plain >= 0) {
                found.append("\"\\/\b\f\n\r\t".charAt(plain));
            } else if (escaped == 'u' && at + 4 < text.length()) {
                found.append((char) Integer.parseInt(text.substring(at + 1, at + 5), 16));
                at += 4;
            } else {
                throw wrong();
            }
        }
        throw wrong();
    }

    private Object number() {
        int start = at;
        while (at < text.length() && "+-0123456789.eE".indexOf(text.charAt(at)) >= 0) at++;
        String digits = text.substring(start, at);
        try {
            if (digits.indexOf('.') >= 0 || digits.indexOf('e') >= 0 || digits.indexOf('E') >= 0) return new BigDecimal(digits);
            return digits.length() < 18 ? (Object) Long.valueOf(digits) : new BigInteger(digits);
        } catch (NumberFormatException error) {
            throw wrong();
        }
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) throw wrong();
        at += word.length();
        return value;
    }

    private boolean peek(char wanted) {
        if (at < text.length() && text.charAt(at) == wanted) {
            at++;
            return true;
        }
        return false;
    }

    private void space() {
        while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) at++;
    }

    private IllegalArgumentException wrong() {
        return new IllegalArgumentException("not JSON at character " + at);
    }

    private static void write(Object value, StringBuilder to, int depth) {
        if (depth > MAX_DEPTH) throw new IllegalArgumentException("nested too deeply, or within itself");
        if (value == null || value instanceof Boolean) {
            to.append(value);
        } else if (value instanceof Number number) {
            boolean isNumber = !(number instanceof Double || number instanceof Float) || Double.isFinite(number.doubleValue());
            if (isNumber) to.append(number);
            else quote(number.toString(), to);
        } else if (value instanceof Map<?, ?> map) {
            String comma = "{";
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                to.append(comma);
                quote(String.valueOf(entry.getKey()), to);
                to.append(':');
                write(entry.getValue(), to, depth + 1);
                comma = ",";
            }
            to.append(map.isEmpty() ? "{}" : "}");
        } else if (value instanceof Iterable<?> items) {
            to.append('[');
            String comma = "";
            for (Object item : items) {
                to.append(comma);
                write(item, to, depth + 1);
                comma = ",";
            }
            to.append(']');
        } else if (value instanceof CharSequence || value instanceof Character) {
            quote(value.toString(), to);
        } else {
            write(Beans.toTree(value), to, depth + 1);
        }
    }

    private static void quote(String text, StringBuilder to) {
        to.append('"');
        for (int at = 0; at < text.length(); at++) {
            char next = text.charAt(at);
            int escaped = "\"\\\b\f\n\r\t".indexOf(next);
            if (escaped >= 0) to.append('\\').append("\"\\bfnrt".charAt(escaped));
            else if (next < 0x20 || Character.isSurrogate(next)) to.append(String.format("\\u%04x", (int) next));
            else to.append(next);
        }
        to.append('"');
    }
}
