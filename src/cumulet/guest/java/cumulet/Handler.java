package cumulet;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * From "package.Class::method" to the method. The class's own jar brings Lambda's interfaces; `package.Class` alone means their
 * `handleRequest`.
 */
final class Handler {
    private static final String PACKAGE = "com.amazonaws.services.lambda.runtime.";

    private final Object instance;
    private final Method method;
    private final Type inputType;
    private final boolean isStream;

    private Handler(Object instance, Method method, Type inputType, boolean isStream) {
        this.instance = instance;
        this.method = method;
        this.inputType = inputType;
        this.isStream = isStream;
    }

    static Handler load(String name, String root) throws Exception {
        ClassLoader loader = new URLClassLoader(classPath(root), ClassLoader.getPlatformClassLoader());
        Thread.currentThread().setContextClassLoader(loader);
        String[] parts = name.split("::", 2);
        Class<?> type;
        try {
            type = Class.forName(parts[0], true, loader);
        } catch (ClassNotFoundException error) {
            throw new ClassNotFoundException("Class not found: " + parts[0], error);
        }
        String methodName = parts.length > 1 ? parts[1] : "handleRequest";
        Method method = find(type, methodName);
        method.setAccessible(true);
        Object instance = Modifier.isStatic(method.getModifiers()) ? null : type.getDeclaredConstructor().newInstance();
        Class<?>[] types = method.getParameterTypes();
        boolean isStream = types.length >= 2 && types[0] == InputStream.class && types[1] == OutputStream.class;
        boolean hasInput = types.length > 0 && !isContext(types[0]);
        Type input = !hasInput || isStream ? null : inputOf(type, method);
        return new Handler(instance, method, input, isStream);
    }

    byte[] handle(byte[] event, Map<String, Object> call) throws Exception {
        Class<?>[] types = method.getParameterTypes();
        Object[] arguments = new Object[types.length];
        ByteArrayOutputStream written = new ByteArrayOutputStream();
        for (int at = 0; at < types.length; at++) {
            if (isContext(types[at])) arguments[at] = Contexts.of(types[at], call);
            else if (isStream) arguments[at] = at == 0 ? new ByteArrayInputStream(event) : written;
            else arguments[at] = Beans.fromTree(Json.parse(event), inputType, Map.of());
        }
        Object returned = method.invoke(instance, arguments);
        return isStream ? written.toByteArray() : Json.write(returned);
    }

    /** Of several methods with the name, the one that a person would mean: with a context before one without, no bridges. */
    private static Method find(Class<?> type, String name) throws NoSuchMethodException {
        Method best = null;
        for (Method method : type.getMethods()) {
            if (!method.getName().equals(name) || method.isBridge() || method.isSynthetic() || !isPossible(method.getParameterTypes())) continue;
            if (best == null || method.getParameterCount() > best.getParameterCount()) best = method;
        }
        if (best == null) throw new NoSuchMethodException("No public method named " + name + " with appropriate method signature found on class " + type.getName());
        return best;
    }

    private static boolean isPossible(Class<?>[] types) {
        if (types.length >= 2 && types[0] == InputStream.class) return types[1] == OutputStream.class && (types.length == 2 || types.length == 3 && isContext(types[2]));
        return types.length < 2 || types.length == 2 && isContext(types[1]);
    }

    private static boolean isContext(Class<?> type) {
        return type.getName().equals(PACKAGE + "Context");
    }

    /** The declared type of the event: from the method, or from `RequestHandler<I, O>` when the method leaves it open. */
    private static Type inputOf(Class<?> type, Method method) {
        Type declared = method.getGenericParameterTypes()[0];
        if (declared != Object.class && !(declared instanceof java.lang.reflect.TypeVariable<?>)) return declared;
        for (Class<?> each = type; each != null; each = each.getSuperclass()) {
            List<Type> above = new ArrayList<>(Arrays.asList(each.getGenericInterfaces()));
            if (each.getGenericSuperclass() != null) above.add(each.getGenericSuperclass());
            for (Type parent : above) {
                if (parent instanceof ParameterizedType parameterized) {
                    Type first = parameterized.getActualTypeArguments()[0];
                    if (!(first instanceof java.lang.reflect.TypeVariable<?>)) return first;
                }
            }
        }
        return Object.class;
    }

    private static URL[] classPath(String root) throws MalformedURLException {
        List<URL> urls = new ArrayList<>();
        urls.add(new File(root + "/").toURI().toURL());
        for (String folder : new String[] {root + "/lib", root, "/opt/java/lib"}) {
            File[] jars = new File(folder).listFiles((where, name) -> name.endsWith(".jar"));
            if (jars == null) continue;
            Arrays.sort(jars);
            for (File jar : jars) urls.add(jar.toURI().toURL());
        }
        return urls.toArray(URL[]::new);
    }
}
