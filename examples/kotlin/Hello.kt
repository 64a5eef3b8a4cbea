package example

data class Answer(val language: String, val event: Map<String, Any?>)

class Hello {
    fun handle(event: Map<String, Any?>): Answer {
        println("hello from Kotlin, function ${System.getenv("AWS_LAMBDA_FUNCTION_NAME")}")
        return Answer("Kotlin", event)
    }
}
