"""What the namespaces (`registrar`, `auth`, `log` ...) work on: the services of this process.

A process binds once, when its Runtime is made. While a handler runs, the binding of the Runtime that runs it holds, so
that a simulator may have many workers in one process. This is state of the process, never a "current message": what a
handler works on is its argument.
"""

from siphon.script._binding import Binding as Binding
from siphon.script._binding import bind as bind
from siphon.script._binding import current as current
from siphon.script._binding import enter as enter
from siphon.script._binding import find as find
from siphon.script._binding import running as running
