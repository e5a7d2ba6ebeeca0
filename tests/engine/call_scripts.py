"""What the scripts of several tests begin with."""

IN_DIALOG = """
from siphon import proxy, registrar

@proxy.on_request
def route(request):
    if request.in_dialog:
        if request.loose_route():
            request.relay()
        else:
            request.reply(404, "Not Here")
        return
"""
"""Within a dialog a request goes by its Route; the rest of the handler says what becomes of others."""
