package example;

import java.util.Map;

/** A plain class: a function needs no library. With aws-lambda-java-core in the package it may implement RequestHandler as well. */
public class Hello {
    public Map<String, Object> handle(Map<String, Object> event) {
        System.out.println("hello from Java, function " + System.getenv("AWS_LAMBDA_FUNCTION_NAME"));
        return Map.of("language", "Java", "event", event);
    }
}
