"""A small MCP server, for ``mcp_server.yaml``: two tools that answer from what is in this file.

sipagent starts it and talks with it over its standard input and output; so it prints nothing.
"""

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

ORDERS = {7: "shipped on Monday", 12: "waiting for a spring"}

server = MCPServer("orders")


@server.tool()
def order_status(number: int) -> str:
    """Look up the status of an order."""
    if number not in ORDERS:
        raise ToolError(f"There is no order {number}.")
    return f"Order {number} is {ORDERS[number]}."


@server.tool()
def delete_orders() -> str:
    """Delete every order; the configuration does not allow it."""
    ORDERS.clear()
    return "All gone."


if __name__ == "__main__":
    server.run()
