"""The command line: parse, call one public function, save. No science in here."""
