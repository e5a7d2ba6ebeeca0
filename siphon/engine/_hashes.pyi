from typing import final

@final
class Loops: ...
