import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI(title="Hello")


@app.get("/")
def index(name: str = "world"):
    return {"hello": name, "from": "FastAPI"}


@app.get("/ticks")
def ticks(count: int = 3):
    async def events():
        for number in range(count):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.2)

    return StreamingResponse(events(), media_type="text/event-stream")
