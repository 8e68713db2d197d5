"""A bot that says again what it is told. Start it with `python examples/echo.py`."""

from nbdriver import Driver, load, onebot


class EchoBot(onebot.Bot):
    async def on_message(self, event: onebot.Event) -> None:
        await self.send(event, event.text)


driver = Driver(*load())
driver.register_adapter("onebot", EchoBot)

if __name__ == "__main__":
    driver.run()
