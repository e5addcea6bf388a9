"""The paper's claims, each with numbers, an uncertainty and a verdict."""

from optoscope.paper.claims._claim import ALL_TASKS as ALL_TASKS
from optoscope.paper.claims._claim import Claim as Claim
from optoscope.paper.claims._claim import Finding as Finding
from optoscope.paper.claims._claim import Measured as Measured
from optoscope.paper.claims._claim import Quantity as Quantity
from optoscope.paper.claims._claim import Rule as Rule
from optoscope.paper.claims._claim import claim as claim
from optoscope.paper.claims.ledger import CLAIMS as CLAIMS
from optoscope.paper.claims.ledger import Ledger as Ledger
from optoscope.paper.claims.ledger import judge as judge
from optoscope.paper.claims.ledger import make_ledger as make_ledger
