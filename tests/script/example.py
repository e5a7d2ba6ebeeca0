from siphon import proxy, registrar, auth, log

@proxy.on_request("REGISTER")
def register(request):
    if not auth.require_digest(request):         # 401, armed
        return
    registrar.save(request)                      # 200 or an error, armed either way

@proxy.on_request("INVITE | MESSAGE | BYE | UPDATE | INFO | PRACK | REFER | OPTIONS")
def route(request):
    if request.in_dialog:
        if request.loose_route():
            request.relay()
        else:
            request.reply(481, "Call/Transaction Does Not Exist")
        return
    request.loose_route()                        # drops a phone's preset Route naming us
    if not auth.require_proxy_digest(request):   # 407, stateless
        return
    if not request.ruri.is_local:
        request.reply(403, "Relaying Denied")
        return
    contacts = registrar.lookup(request.ruri)
    if not contacts:
        request.reply(480, "Temporarily Unavailable")
        return
    request.vars["aor"] = str(request.ruri)
    request.record_route()
    request.fork(contacts, timeout=25, on_failure=no_answer)

def no_answer(request, code, reason):            # module level; any worker
    if code in (408, 480, 486):
        log.info(f"{request.vars['aor']}: {code}, to voicemail")
        request.relay("sip:voicemail.example.net")

@proxy.on_reply
def reply(request, reply):
    reply.relay()
