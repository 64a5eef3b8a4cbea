package cumulet;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Runs through what every function will need: for the class-data archive, and to warm a shell up while it is nobody's. */
final class Training {
    private Training() {}

    /** Something to write by getters and fill by setters. */
    public static final class Sample {
        private String name;
        private List<Integer> numbers;

        public String getName() {
            return name;
        }

        public void setName(String name) {
            this.name = name;
        }

        public List<Integer> getNumbers() {
            return numbers;
        }

        public void setNumbers(List<Integer> numbers) {
            this.numbers = numbers;
        }

        public Sample handle(Sample sample) {
            return sample;
        }
    }

    static void run() throws Exception {
        warmUp();
        Errors.document(new IllegalStateException("trained"));
        Handler handler = Handler.load("java.lang.Object::toString", "/nonexistent");
        handler.handle(Main.utf8("{}"), new HashMap<>());
    }

    static void warmUp() {
        byte[] text = Main.utf8("{\"name\": \"caf\\u00e9\", \"numbers\": [1, 2.5], \"more\": null, \"is\": true}");
        Object sample = Beans.fromTree(Json.parse(text), Sample.class, Map.of());
        Json.write(sample);
        Json.write(Main.mapOf("request_id", "none", "nested", List.of(Map.of("a", 1L))));
        Beans.fromTree(Json.parse(text), Object.class, Map.of());
    }
}
