package cumulet;

import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.lang.reflect.WildcardType;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/**
 * JSON trees to the types that handlers take, and what they return to trees: plain values, collections, enums, records, and objects by
 * setters and getters. Names match whatever their case, as event types are not consistent in theirs; what a type lacks is ignored.
 */
final class Beans {
    private Beans() {}

    static Object fromTree(Object tree, Type type, Map<TypeVariable<?>, Type> bound) {
        if (type instanceof TypeVariable<?> variable) return fromTree(tree, bound.getOrDefault(variable, Object.class), bound);
        if (type instanceof WildcardType wildcard) return fromTree(tree, wildcard.getUpperBounds()[0], bound);
        if (type instanceof GenericArrayType array) return array(tree, array.getGenericComponentType(), bound);
        Type[] parameters = {Object.class, Object.class};
        if (type instanceof ParameterizedType parameterized) {
            parameters = parameterized.getActualTypeArguments();
            bound = new HashMap<>(bound);
            TypeVariable<?>[] variables = ((Class<?>) parameterized.getRawType()).getTypeParameters();
            for (int at = 0; at < variables.length; at++) bound.put(variables[at], parameters[at]);
            type = parameterized.getRawType();
        }
        Class<?> raw = (Class<?>) type;
        if (tree == null) return raw.isPrimitive() ? Array.get(Array.newInstance(raw, 1), 0) : raw == Optional.class ? Optional.empty() : null;
        if (raw == Object.class) return plain(tree);
        if (raw == Optional.class) return Optional.of(fromTree(tree, parameters[0], bound));
        if (raw == byte[].class) return Base64.getDecoder().decode((String) tree);
        if (raw == ByteBuffer.class) return ByteBuffer.wrap(Base64.getDecoder().decode((String) tree));
        if (raw.isArray()) return array(tree, raw.getComponentType(), bound);
        if (Map.class.isAssignableFrom(raw)) return map(tree, raw, parameters[parameters.length - 1], bound);
        if (Collection.class.isAssignableFrom(raw)) return collection(tree, raw, parameters[0], bound);
        if (raw.isEnum()) return constant(raw, tree.toString());
        Object scalar = scalar(tree, raw);
        if (scalar != null) return scalar;
        if (!(tree instanceof Map)) throw mismatch(tree, raw);
        return raw.isRecord() ? record(Json.object(tree), raw, bound) : bean(Json.object(tree), raw, bound);
    }

    /** A tree of what an object's getters, public fields or record components tell. */
    static Object toTree(Object value) {
        if (value instanceof Enum<?> constant) return constant.name();
        if (value instanceof Optional<?> optional) return optional.orElse(null);
        if (value instanceof byte[] bytes) return Base64.getEncoder().encodeToString(bytes);
        if (value instanceof ByteBuffer buffer) {
            byte[] bytes = new byte[buffer.remaining()];
            buffer.duplicate().get(bytes);
            return Base64.getEncoder().encodeToString(bytes);
        }
        if (value instanceof Date date) return date.getTime();
        if (value.getClass().isArray()) {
            List<Object> items = new ArrayList<>();
            for (int at = 0; at < Array.getLength(value); at++) items.add(Array.get(value, at));
            return items;
        }
        if (value.getClass().getName().startsWith("java.")) return value.toString(); // times, UUIDs, URIs
        Map<String, Object> found = new LinkedHashMap<>();
        try {
            if (value instanceof Record) {
                for (RecordComponent component : value.getClass().getRecordComponents()) {
                    component.getAccessor().setAccessible(true);
                    found.put(component.getName(), component.getAccessor().invoke(value));
                }
                return found;
            }
            for (Field field : value.getClass().getFields()) {
                if (!Modifier.isStatic(field.getModifiers())) found.put(field.getName(), field.get(value));
            }
            for (Method method : value.getClass().getMethods()) {
                String name = propertyOf(method);
                if (name == null) continue;
                method.setAccessible(true);
                found.put(name, method.invoke(value));
            }
        } catch (ReflectiveOperationException error) {
            throw new IllegalArgumentException("cannot be written as JSON: " + value.getClass().getName(), Errors.causeOf(error));
        }
        return found;
    }

    private static String propertyOf(Method getter) {
        if (getter.getParameterCount() != 0 || Modifier.isStatic(getter.getModifiers()) || getter.getDeclaringClass() == Object.class) return null;
        String name = getter.getName();
        boolean isBoolean = getter.getReturnType() == boolean.class || getter.getReturnType() == Boolean.class;
        int prefix = name.startsWith("get") ? 3 : name.startsWith("is") && isBoolean ? 2 : 0;
        if (prefix == 0 || name.length() == prefix || getter.getReturnType() == void.class) return null;
        String rest = name.substring(prefix);
        int capitals = 0; // getURL is "url", getBody is "body"
        while (capitals < rest.length() && Character.isUpperCase(rest.charAt(capitals))) capitals++;
        return capitals == rest.length() ? rest.toLowerCase(Locale.ROOT) : Character.toLowerCase(rest.charAt(0)) + rest.substring(1);
    }

    private static Object scalar(Object tree, Class<?> raw) {
        if (raw == String.class || raw == CharSequence.class) return tree instanceof Map || tree instanceof List ? new String(Json.write(tree)) : tree.toString();
        if (raw == boolean.class || raw == Boolean.class) return tree instanceof Boolean ? tree : Boolean.valueOf(tree.toString());
        if (raw == char.class || raw == Character.class) return tree.toString().charAt(0);
        if (raw == Date.class) return tree instanceof Number time ? new Date(time.longValue()) : Date.from(Instant.parse(tree.toString()));
        if (raw == Instant.class) return tree instanceof Number time ? Instant.ofEpochMilli(time.longValue()) : Instant.parse(tree.toString());
        if (!raw.isPrimitive() && !Number.class.isAssignableFrom(raw)) return null;
        BigDecimal number;
        try {
            number = new BigDecimal(tree.toString());
        } catch (NumberFormatException error) {
            throw mismatch(tree, raw);
        }
        if (raw == int.class || raw == Integer.class) return number.intValue();
        if (raw == long.class || raw == Long.class) return number.longValue();
        if (raw == double.class || raw == Double.class) return number.doubleValue();
        if (raw == float.class || raw == Float.class) return number.floatValue();
        if (raw == short.class || raw == Short.class) return number.shortValue();
        if (raw == byte.class || raw == Byte.class) return number.byteValue();
        if (raw == BigInteger.class) return number.toBigInteger();
        return raw == BigDecimal.class ? number : plain(tree);
    }

    /** What a handler that asks for Object gets: small whole numbers are Integers, as everybody expects. */
    private static Object plain(Object tree) {
        if (tree instanceof Long number) return number == number.intValue() ? (Object) number.intValue() : number;
        if (tree instanceof BigDecimal number) return number.doubleValue();
        if (tree instanceof Map<?, ?> map) {
            Map<Object, Object> found = new LinkedHashMap<>();
            map.forEach((name, value) -> found.put(name, plain(value)));
            return found;
        }
        if (tree instanceof List<?> list) {
            List<Object> found = new ArrayList<>();
            for (Object item : list) found.add(plain(item));
            return found;
        }
        return tree;
    }

    private static Object array(Object tree, Type component, Map<TypeVariable<?>, Type> bound) {
        if (!(tree instanceof List<?> items)) throw mismatch(tree, Object[].class);
        Class<?> raw = component instanceof Class<?> plain ? plain : component instanceof ParameterizedType p ? (Class<?>) p.getRawType() : Object.class;
        Object array = Array.newInstance(raw, items.size());
        for (int at = 0; at < items.size(); at++) Array.set(array, at, fromTree(items.get(at), component, bound));
        return array;
    }

    @SuppressWarnings("unchecked")
    private static Object map(Object tree, Class<?> raw, Type type, Map<TypeVariable<?>, Type> bound) {
        if (!(tree instanceof Map<?, ?> given)) throw mismatch(tree, raw);
        Map<Object, Object> found = raw.isInterface() ? (raw.getName().contains("Sorted") ? new TreeMap<>() : new LinkedHashMap<>()) : (Map<Object, Object>) created(raw);
        for (Map.Entry<?, ?> entry : given.entrySet()) found.put(entry.getKey(), fromTree(entry.getValue(), type, bound));
        return found;
    }

    @SuppressWarnings("unchecked")
    private static Object collection(Object tree, Class<?> raw, Type type, Map<TypeVariable<?>, Type> bound) {
        if (!(tree instanceof List<?> given)) throw mismatch(tree, raw);
        Collection<Object> found = raw.isInterface() ? (Set.class.isAssignableFrom(raw) ? new LinkedHashSet<>() : new ArrayList<>()) : (Collection<Object>) created(raw);
        for (Object item : given) found.add(fromTree(item, type, bound));
        return found;
    }

    private static Object constant(Class<?> raw, String name) {
        for (Object constant : raw.getEnumConstants()) if (((Enum<?>) constant).name().equalsIgnoreCase(name)) return constant;
        throw new IllegalArgumentException(name + " is no " + raw.getName());
    }

    private static Object record(Map<String, Object> tree, Class<?> raw, Map<TypeVariable<?>, Type> bound) {
        RecordComponent[] components = raw.getRecordComponents();
        Class<?>[] types = new Class<?>[components.length];
        Object[] values = new Object[components.length];
        Map<String, Object> named = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        named.putAll(tree);
        for (int at = 0; at < components.length; at++) {
            types[at] = components[at].getType();
            values[at] = fromTree(named.get(components[at].getName()), components[at].getGenericType(), bound);
        }
        try {
            Constructor<?> constructor = raw.getDeclaredConstructor(types);
            constructor.setAccessible(true);
            return constructor.newInstance(values);
        } catch (ReflectiveOperationException error) {
            throw new IllegalArgumentException("cannot make a " + raw.getName(), Errors.causeOf(error));
        }
    }

    private static Object bean(Map<String, Object> tree, Class<?> raw, Map<TypeVariable<?>, Type> bound) {
        Object made = created(raw);
        Map<String, Method> setters = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        for (Method method : raw.getMethods()) {
            if (method.getName().startsWith("set") && method.getName().length() > 3 && method.getParameterCount() == 1 && !method.isBridge()) {
                setters.putIfAbsent(method.getName().substring(3), method);
            }
        }
        try {
            for (Map.Entry<String, Object> entry : tree.entrySet()) {
                Method setter = setters.get(entry.getKey());
                if (setter != null) {
                    setter.setAccessible(true);
                    setter.invoke(made, fromTree(entry.getValue(), setter.getGenericParameterTypes()[0], bound));
                    continue;
                }
                for (Field field : raw.getFields()) {
                    if (field.getName().equalsIgnoreCase(entry.getKey()) && !Modifier.isFinal(field.getModifiers())) field.set(made, fromTree(entry.getValue(), field.getGenericType(), bound));
                }
            }
        } catch (ReflectiveOperationException error) {
            throw new IllegalArgumentException("cannot fill a " + raw.getName(), Errors.causeOf(error));
        }
        return made;
    }

    private static Object created(Class<?> raw) {
        try {
            Constructor<?> constructor = raw.getDeclaredConstructor();
            constructor.setAccessible(true);
            return constructor.newInstance();
        } catch (ReflectiveOperationException error) {
            throw new IllegalArgumentException("cannot make a " + raw.getName() + ": it needs a constructor without parameters", Errors.causeOf(error));
        }
    }

    private static IllegalArgumentException mismatch(Object tree, Class<?> raw) {
        String text = new String(Json.write(tree));
        return new IllegalArgumentException("An error occurred during JSON parsing: " + text.substring(0, Math.min(80, text.length())) + " is no " + raw.getName());
    }
}
