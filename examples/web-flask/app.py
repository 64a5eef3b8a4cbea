from flask import Flask, request

app = Flask(__name__)


@app.get("/")
def index():
    name = request.args.get("name", "world")
    return f"<h1>Hello {name} from Flask</h1>"
