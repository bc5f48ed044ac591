"""A small MCP server, for ``mcp_server.yaml``: a library that answers from what is in this file.

sipagent starts it, and talks with it over its standard input and output; so it prints nothing.
"""

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

BOOKS = {7: "on loan until Monday", 12: "on its shelf"}

server = MCPServer("library")


@server.tool()
def book_status(number: int) -> str:
    """Look up whether a book can be had, by its number."""
    if number not in BOOKS:
        raise ToolError(f"There is no book {number}.")
    return f"Book {number} is {BOOKS[number]}."


@server.tool()
def find_story() -> str:
    """Find a story that the library recommends today."""
    return "We recommend the story of the heron who counted the tides."


@server.tool()
def delete_books() -> str:
    """Delete every book; the configuration does not allow it."""
    BOOKS.clear()
    return "All gone."


if __name__ == "__main__":
    server.run()
