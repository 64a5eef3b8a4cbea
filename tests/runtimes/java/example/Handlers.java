package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.time.ZoneId;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Handlers of every form. */
public class Handlers {
    private int calls;

    public static class Order {
        private String customer;
        private List<Item> items;
        private boolean urgent;

        public String getCustomer() { return customer; }
        public void setCustomer(String customer) { this.customer = customer; }
        public List<Item> getItems() { return items; }
        public void setItems(List<Item> items) { this.items = items; }
        public boolean isUrgent() { return urgent; }
        public void setUrgent(boolean urgent) { this.urgent = urgent; }
    }

    public record Item(String name, int count, Double price) {}

    public static class Typed implements RequestHandler<Order, Map<String, Object>> {
        @Override
        public Map<String, Object> handleRequest(Order order, Context context) {
            context.getLogger().log("order of " + order.getCustomer());
            int count = order.getItems().stream().mapToInt(Item::count).sum();
            return new TreeMap<>(Map.of("customer", order.getCustomer(), "count", count, "order", order, "name", context.getFunctionName()));
        }
    }

    public static class Streams implements RequestStreamHandler {
        @Override
        public void handleRequest(InputStream input, OutputStream output, Context context) throws IOException {
            output.write('[');
            input.transferTo(output);
            output.write(']');
        }
    }

    public int count() { return ++calls; }

    public String upper(String text) { return text.toUpperCase(); }

    public Map<String, Object> anything(Map<String, Object> event) { return event; }

    public static List<Integer> doubled(List<Integer> numbers) { return numbers.stream().map(number -> number * 2).toList(); }

    public Map<String, Object> facts(Object event, Context context) throws IOException {
        Map<String, Object> found = new TreeMap<>();
        found.put("arn", context.getInvokedFunctionArn());
        found.put("memory", context.getMemoryLimitInMB());
        found.put("left", context.getRemainingTimeInMillis() > 0);
        found.put("custom", context.getClientContext().getCustom());
        found.put("title", context.getClientContext().getClient().getAppTitle());
        found.put("identity", context.getIdentity().getIdentityId());
        found.put("mine", System.getenv("MINE"));
        found.put("key", System.getenv().get("AWS_ACCESS_KEY_ID"));
        found.put("zone", ZoneId.systemDefault().getId());
        found.put("directory", new java.io.File(".").getAbsolutePath());
        found.put("files", new java.util.TreeSet<>(List.of(new java.io.File(".").list())));
        try (InputStream settings = new java.io.FileInputStream("settings.txt")) {
            found.put("settings", new String(settings.readAllBytes()));
        }
        found.put("heap", Runtime.getRuntime().maxMemory() >> 20);
        return found;
    }

    public String fails(String event) { throw new IllegalStateException("no " + event, new RuntimeException("why")); }

    public String exits() { System.exit(9); return ""; }
}
