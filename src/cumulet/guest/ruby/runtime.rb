# The Ruby runtime: loads the handler, then answers one event after the other, over the socket on file descriptor 3.
# A frame is 1 byte of kind, 4 of the head's length, 4 of the body's, then both; the head is JSON. Started without a handler's name it
# is a shell: nobody's, until a frame tells whose environment it has become.
require "json"

module Cumulet
  INVOKE, RESULT, ERROR, READY, INIT_ERROR, SPECIALISE = 1, 2, 3, 4, 5, 6
  MAX_ANSWER_BYTES = 6 * 1024 * 1024 + 100

  # A failure that Lambda names itself.
  class RuntimeFault < StandardError
    attr_reader :error_type

    def initialize(error_type, message)
      super(message)
      @error_type = error_type
    end
  end

  # The facts of one invocation, as handlers get them.
  class Context
    attr_reader :aws_request_id, :invoked_function_arn, :deadline_ms, :identity, :client_context

    def initialize(call)
      @aws_request_id = call["request_id"]
      @invoked_function_arn = call["invoked_arn"]
      @deadline_ms = call["deadline_ms"]
      @identity = call["cognito_identity"] && JSON.parse(call["cognito_identity"])
      @client_context = call["client_context"] && JSON.parse(call["client_context"])
    end

    def function_name = ENV["AWS_LAMBDA_FUNCTION_NAME"]
    def function_version = ENV["AWS_LAMBDA_FUNCTION_VERSION"]
    def memory_limit_in_mb = ENV["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
    def log_group_name = ENV["AWS_LAMBDA_LOG_GROUP_NAME"]
    def log_stream_name = ENV["AWS_LAMBDA_LOG_STREAM_NAME"]
    def get_remaining_time_in_millis = [0, @deadline_ms - (Process.clock_gettime(Process::CLOCK_REALTIME) * 1000).to_i].max
  end

  # One environment's life.
  class Runtime
    def initialize(channel)
      @channel = channel
    end

    def serve
      $stdout.sync = $stderr.sync = true
      init if ENV.key?("_HANDLER")
      while (start = @channel.read(9))
        kind, head_size, body_size = start.unpack("CNN")
        head = JSON.parse(@channel.read(head_size))
        body = @channel.read(body_size)
        case kind
        when SPECIALISE
          specialise(JSON.parse(body))
          init
        when INVOKE
          answer(head, body)
        end
      end
      exit!(0)
    end

    private

    # What a process of its own would have been started with.
    def specialise(variables)
      ENV.replace(variables)
      Dir.chdir(ENV["LAMBDA_TASK_ROOT"])
    end

    def init
      $LOAD_PATH.unshift(ENV["LAMBDA_TASK_ROOT"], "/opt/ruby/lib")
      ENV["GEM_PATH"] ||= "#{ENV["LAMBDA_TASK_ROOT"]}/vendor/bundle/ruby/#{RbConfig::CONFIG["ruby_version"]}:/opt/ruby/gems/#{RbConfig::CONFIG["ruby_version"]}"
      Gem.clear_paths if defined?(Gem)
      @handler = load_handler(ENV["_HANDLER"])
      send_frame(READY, {}, "")
    rescue SystemExit => error
      exit!(error.status)
    rescue Exception => error # rubocop:disable Lint/RescueException -- whatever the user's code raises is the answer
      document = document_of(error)
      log(document)
      send_frame(INIT_ERROR, { error_type: document["errorType"] }, JSON.generate(document))
      exit!(1)
    end

    # "file.method", or "file.Module::Class.method".
    def load_handler(name)
      file, owner, method = name.split(".", 3)
      method, owner = owner, nil if method.nil?
      raise RuntimeFault.new("Runtime.MalformedHandlerName", "Bad handler '#{name}': file.method is wanted") if method.nil?

      begin
        require File.expand_path(file, ENV["LAMBDA_TASK_ROOT"])
      rescue LoadError => error
        raise RuntimeFault.new("Init<LoadError>", error.message)
      rescue SyntaxError => error
        raise RuntimeFault.new("Init<SyntaxError>", error.message)
      end
      target = owner ? Kernel.const_get(owner) : TOPLEVEL_BINDING.receiver
      raise RuntimeFault.new("Init<NoMethodError>", "undefined method '#{method}' for #{name}") unless target.respond_to?(method, true)

      target.method(method)
    end

    def answer(call, body)
      ENV["_X_AMZN_TRACE_ID"] = call["trace_id"]
      result = JSON.generate(@handler.call(event: JSON.parse(body), context: Context.new(call)))
      if result.bytesize > MAX_ANSWER_BYTES
        raise RuntimeFault.new("Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (6291556 bytes).")
      end
      send_frame(RESULT, { request_id: call["request_id"] }, result)
    rescue SystemExit => error
      exit!(error.status)
    rescue Exception => error # rubocop:disable Lint/RescueException -- whatever the user's code raises is the answer
      document = document_of(error)
      log(document)
      send_frame(ERROR, { request_id: call["request_id"], error_type: document["errorType"] }, JSON.generate(document))
    end

    def document_of(error)
      type = error.is_a?(RuntimeFault) ? error.error_type : "Function<#{error.class}>"
      stack = (error.backtrace || []).take_while { |line| !line.start_with?(__FILE__) }
      { "errorMessage" => error.message.to_s.encode("UTF-8", invalid: :replace, undef: :replace), "errorType" => type, "stackTrace" => stack }
    end

    def log(document)
      $stdout.write("Error raised from handler method\0\n#{JSON.generate(document)}\n")
    end

    def send_frame(kind, head, body)
      $stdout.flush
      packed = JSON.generate(head)
      body = body.b
      @channel.write([kind, packed.bytesize, body.bytesize].pack("CNN") + packed.b + body)
      @channel.flush
    end
  end
end

channel = IO.for_fd(3, "r+b")
channel.sync = true
channel.close_on_exec = true
Cumulet::Runtime.new(channel).serve
