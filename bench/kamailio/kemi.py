"""The request_route of kamailio.cfg in Python, for Kamailio's app_python3. Run by Kamailio, not by Python."""

import os

import KSR

DIGEST = os.environ.get("BENCH_DIGEST") == "1"
COUNT = os.environ.get("BENCH_COUNT") == "1"


def mod_init():
    return Kamailio()


class Kamailio:
    def child_init(self, rank):
        return 0

    def ksr_request_route(self, msg):
        if COUNT:
            KSR.err("handler called\n")
        if KSR.maxfwd.process_maxfwd(70) < 0:
            KSR.sl.sl_send_reply(483, "Too Many Hops")
            return 1
        if KSR.is_CANCEL():
            if KSR.tm.t_check_trans() > 0:
                KSR.tm.t_relay()
            return 1

        # 1. malformed requests
        in_dialog = KSR.siputils.has_totag() > 0
        if not in_dialog and KSR.sanity.sanity_check_defaults() < 0:
            return 1

        # 2. OPTIONS to the proxy itself
        if KSR.is_OPTIONS() and KSR.is_myself_ruri() and not KSR.pv.get("$rU"):
            KSR.sl.sl_send_reply(200, "OK")
            return 1

        # 3. requests within dialogs
        if in_dialog:
            if KSR.rr.loose_route() > 0:
                KSR.tm.t_relay()
            elif KSR.is_ACK():
                KSR.tm.t_check_trans()
            else:
                KSR.sl.sl_send_reply(404, "Not Here")
            return 1
        if KSR.tm.t_check_trans() == 0:
            return 1

        # 4. REGISTER
        if KSR.is_REGISTER():
            return self.register()

        # 5. new requests
        if not KSR.pv.get("$rU"):
            KSR.sl.sl_send_reply(484, "Address Incomplete")
            return 1
        if KSR.registrar.lookup("location") < 0:
            KSR.sl.sl_send_reply(404, "Not Found")
            return 1
        KSR.rr.record_route()
        KSR.tm.t_relay()
        return 1

    def register(self):
        if DIGEST and KSR.auth.pv_auth_check("example.com", "secret", 0, 1) < 0:
            KSR.auth.auth_challenge("example.com", 1)
            return 1
        KSR.registrar.save("location", 0)
        return 1
