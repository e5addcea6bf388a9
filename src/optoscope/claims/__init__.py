"""The paper's claims, each with numbers, an uncertainty and a verdict."""

from optoscope.claims._claim import ALL_TASKS as ALL_TASKS
from optoscope.claims._claim import Claim as Claim
from optoscope.claims._claim import Finding as Finding
from optoscope.claims._claim import Measured as Measured
from optoscope.claims._claim import Quantity as Quantity
from optoscope.claims._claim import Rule as Rule
from optoscope.claims.ledger import CLAIMS as CLAIMS
from optoscope.claims.ledger import Ledger as Ledger
from optoscope.claims.ledger import judge as judge
from optoscope.claims.ledger import make_ledger as make_ledger
