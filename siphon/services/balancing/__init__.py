"""Groups of upstreams that share the calls (script API 13): who is chosen, who is healthy, what all workers know of it.

choice.py and health.py are pure; model.py checks what a script or the configuration gives; groups.py keeps what is
shared in a table, views.py and turns.py are its records. Who sends the probes is the engine's business
(siphon/engine/gateways.py).
"""

from siphon.services.balancing.groups import Groups
from siphon.services.balancing.health import Health, judge
from siphon.services.balancing.model import ALGORITHMS, Group, ProbePlan, Upstream, groups_of
from siphon.services.balancing.views import View

__all__ = ["ALGORITHMS", "Group", "Groups", "Health", "ProbePlan", "Upstream", "View", "groups_of", "judge"]
