package cumulet;

import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.Map;

/** Lambda's `Context` and what hangs on it, as proxies of whatever version of the interfaces the function's jar brings. */
final class Contexts {
    private Contexts() {}

    static Object of(Class<?> type, Map<String, Object> call) {
        return proxy(type, (method, arguments) -> switch (method.getName()) {
            case "getAwsRequestId" -> call.get("request_id");
            case "getInvokedFunctionArn" -> call.get("invoked_arn");
            case "getFunctionName" -> System.getenv("AWS_LAMBDA_FUNCTION_NAME");
            case "getFunctionVersion" -> System.getenv("AWS_LAMBDA_FUNCTION_VERSION");
            case "getLogGroupName" -> System.getenv("AWS_LAMBDA_LOG_GROUP_NAME");
            case "getLogStreamName" -> System.getenv("AWS_LAMBDA_LOG_STREAM_NAME");
            case "getMemoryLimitInMB" -> Integer.valueOf(System.getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"));
            case "getRemainingTimeInMillis" -> (int) Math.max(0, ((Number) call.get("deadline_ms")).longValue() - System.currentTimeMillis());
            case "getIdentity" -> identity(method.getReturnType(), parsed(call.get("cognito_identity")));
            case "getClientContext" -> client(method.getReturnType(), parsed(call.get("client_context")));
            case "getLogger" -> proxy(method.getReturnType(), Contexts::log);
            default -> null;
        });
    }

    private static Object log(Method method, Object[] arguments) {
        if (arguments[0] instanceof byte[] bytes) System.out.writeBytes(bytes);
        else System.out.println(arguments[0]);
        return null;
    }

    private static Object identity(Class<?> type, Map<String, Object> facts) {
        return proxy(type, (method, arguments) -> facts.get(method.getName().equals("getIdentityId") ? "cognitoIdentityId" : "cognitoIdentityPoolId"));
    }

    private static Object client(Class<?> type, Map<String, Object> facts) {
        if (facts.isEmpty()) return null;
        return proxy(type, (method, arguments) -> switch (method.getName()) {
            case "getCustom" -> facts.get("custom");
            case "getEnvironment" -> facts.get("env");
            default -> proxy(method.getReturnType(), (inner, none) -> clientFact(inner.getName(), facts.get("client")));
        });
    }

    private static Object clientFact(String getter, Object facts) {
        if (!(facts instanceof Map<?, ?> map)) return null;
        return map.get(getter.substring(3).replaceAll("([a-z])([A-Z])", "$1_$2").toLowerCase(java.util.Locale.ROOT));
    }

    private static Map<String, Object> parsed(Object text) {
        return text == null ? Map.of() : Json.object(Json.parse(Main.utf8((String) text)));
    }

    private interface Answer {
        Object to(Method method, Object[] arguments);
    }

    private static Object proxy(Class<?> type, Answer answer) {
        return Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (self, method, arguments) -> {
            if (method.getDeclaringClass() != Object.class) return answer.to(method, arguments);
            return switch (method.getName()) {
                case "hashCode" -> System.identityHashCode(self);
                case "equals" -> self == arguments[0];
                default -> type.getSimpleName();
            };
        });
    }
}
